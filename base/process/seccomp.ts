/**
 * The system calls that a process of a base may make, as one table: the filter of cells and trials and the profile for containers both come from it.
 * What is not in the table is refused. So is what came into Linux later, as if the kernel did not have it: libraries then use what they used before.
 */
import { endianness } from 'node:os'

/** Name and number of each call on x64 and arm64; `-` where there is none. */
const calls = {
  files: `
    read:0:63 write:1:64 open:2:- openat:257:56 openat2:437:437 close:3:57 close_range:436:436 stat:4:- fstat:5:80 lstat:6:-
    newfstatat:262:79 statx:332:291 access:21:- faccessat:269:48 faccessat2:439:439 lseek:8:62 pread64:17:67 pwrite64:18:68 readv:19:65
    writev:20:66 preadv:295:69 pwritev:296:70 preadv2:327:286 pwritev2:328:287 readlink:89:- readlinkat:267:78 getdents:78:-
    getdents64:217:61 getcwd:79:17 chdir:80:49 fchdir:81:50 fcntl:72:25 ioctl:16:29 flock:73:32 fsync:74:82 fdatasync:75:83
    sync_file_range:277:84 ftruncate:77:46 truncate:76:45 fallocate:285:47 rename:82:- renameat:264:38 renameat2:316:276 mkdir:83:-
    mkdirat:258:34 rmdir:84:- link:86:- linkat:265:37 symlink:88:- symlinkat:266:36 unlink:87:- unlinkat:263:35 chmod:90:- fchmod:91:52
    fchmodat:268:53 fchmodat2:452:452 chown:92:- fchown:93:55 lchown:94:- fchownat:260:54 umask:95:166 utime:132:- utimes:235:-
    utimensat:280:88 futimesat:261:- sendfile:40:71 copy_file_range:326:285 statfs:137:43 fstatfs:138:44 dup:32:23 dup2:33:- dup3:292:24
    pipe:22:- pipe2:293:59 fadvise64:221:223 inotify_init:253:- inotify_init1:294:26 inotify_add_watch:254:27 inotify_rm_watch:255:28
    splice:275:76 getxattr:191:8 lgetxattr:192:9 fgetxattr:193:10 listxattr:194:11 llistxattr:195:12 flistxattr:196:13
  `,
  events: `
    poll:7:- ppoll:271:73 select:23:- pselect6:270:72 epoll_create:213:- epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:-
    epoll_pwait:281:22 epoll_pwait2:441:441 eventfd:284:- eventfd2:290:19 timerfd_create:283:85 timerfd_settime:286:86
    timerfd_gettime:287:87 signalfd:282:- signalfd4:289:74
  `,
  memory: `
    brk:12:214 mmap:9:222 munmap:11:215 mprotect:10:226 mremap:25:216 madvise:28:233 mlock:149:228 mlock2:325:284 munlock:150:229
    msync:26:227 mincore:27:232 membarrier:324:283 pkey_alloc:330:289 pkey_free:331:290 pkey_mprotect:329:288 get_mempolicy:239:236
  `,
  processes: `
    execve:59:221 exit:60:93 exit_group:231:94 futex:202:98 futex_waitv:449:449 set_robust_list:273:99 get_robust_list:274:100
    rseq:334:293 set_tid_address:218:96 arch_prctl:158:- prctl:157:167 seccomp:317:277 gettid:186:178 getpid:39:172 getppid:110:173
    getpgrp:111:- getpgid:121:155 setpgid:109:154 getsid:124:156 setsid:112:157 getuid:102:174 geteuid:107:175 getgid:104:176
    getegid:108:177 getresuid:118:148 getresgid:120:150 getgroups:115:158 capget:125:90 capset:126:91 wait4:61:260 waitid:247:95
    sched_yield:24:124 sched_getaffinity:204:123 sched_setaffinity:203:122 sched_getparam:143:121 sched_setparam:142:118
    sched_getscheduler:145:120 sched_setscheduler:144:119 sched_get_priority_max:146:125 sched_get_priority_min:147:126
    sched_getattr:315:275 sched_setattr:314:274 getpriority:140:141 setpriority:141:140 getrusage:98:165 getrlimit:97:163
    setrlimit:160:164 prlimit64:302:261 getcpu:309:168 uname:63:160 sysinfo:99:179 restart_syscall:219:128 getrandom:318:278
  `,
  signals: `
    rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136 rt_sigtimedwait:128:137 rt_sigsuspend:130:133
    rt_sigqueueinfo:129:138 rt_tgsigqueueinfo:297:240 sigaltstack:131:132 kill:62:129 tkill:200:130 tgkill:234:131 pause:34:-
  `,
  time: `
    nanosleep:35:101 clock_nanosleep:230:115 clock_gettime:228:113 clock_getres:229:114 gettimeofday:96:169 time:201:- times:100:153
    alarm:37:- getitimer:36:102 setitimer:38:103 timer_create:222:107 timer_settime:223:110 timer_gettime:224:108
    timer_getoverrun:225:109 timer_delete:226:111
  `,
  network: `
    socketpair:53:199 bind:49:200 connect:42:203 listen:50:201 accept:43:202 accept4:288:242 getsockname:51:204 getpeername:52:205
    setsockopt:54:208 getsockopt:55:209 shutdown:48:210 sendto:44:206 recvfrom:45:207 sendmsg:46:211 recvmsg:47:212 sendmmsg:307:269
    recvmmsg:299:243
  `,
  // Each of them makes a process.
  forks: 'fork:57:- vfork:58:-',
  // The kernel says that it does not have this call, whose flags a filter cannot read. C libraries use `clone` then.
  hidden: 'clone3:435:435',
  conditional: 'clone:56:220 socket:41:198',
}

/** The last call of the kernel that this table was made for. */
const NEWEST = 452

/** A call is allowed when its first argument, of which the low half is looked at, has this value in the bits of the mask. */
interface Condition {
  readonly name: string
  readonly mask: number
  readonly value: number
}

const CLONE_THREAD = 0x10000
/** The flags of `clone` that make a namespace: of mounts, control groups, names, IPC, users, processes and networks. */
const CLONE_NAMESPACES = 0x7e020000
/** Of domains of sockets: local ones, IPv4, IPv6, and the kernel's table of addresses and routes, which resolving a name reads. */
const domains = { AF_UNIX: 1, AF_INET: 2, AF_INET6: 10, AF_NETLINK: 16 }

/** Whom a filter is for: a process that runs module code, which must stay one process, or a container with a whole base. */
export type Confined = 'module' | 'base'

const socketConditions: readonly Condition[] = Object.values(domains).map(value => ({ name: 'socket', mask: 0xffffffff, value }))
const conditionsFor: Readonly<Record<Confined, readonly Condition[]>> = {
  module: [{ name: 'clone', mask: CLONE_NAMESPACES | CLONE_THREAD, value: CLONE_THREAD }, ...socketConditions],
  base: [{ name: 'clone', mask: CLONE_NAMESPACES, value: 0 }, ...socketConditions],
}

interface Call {
  readonly name: string
  readonly x64: number | undefined
  readonly arm64: number | undefined
}

function parse(text: string): Call[] {
  return text
    .trim()
    .split(/\s+/)
    .map(entry => {
      const [name = '', ...numbers] = entry.split(':')
      const [x64, arm64] = numbers.map(number => (number === '-' ? undefined : Number(number)))
      return { name, x64, arm64 }
    })
}

const { forks, hidden, conditional, ...plain } = calls
/** What is allowed whatever the arguments. */
const allowedFor = (confined: Confined): Call[] => [...Object.values(plain), ...(confined === 'base' ? [forks] : [])].flatMap(parse)

// The filter: a program for the virtual machine of the kernel that Berkeley packet filters run on. Its instructions have eight bytes.

/** Codes of instructions: load a word of the call, compare it, mask it, and return what shall happen. */
const LOAD = 0x20
const IF_EQUAL = 0x15
const IF_AT_LEAST = 0x35
const AND = 0x54
const RETURN = 0x06

const ALLOW = 0x7fff0000
const KILL_PROCESS = 0x80000000
const refuseWith = (errno: number): number => 0x00050000 | errno
const EPERM = 1
const ENOSYS = 38

/** Where the kernel puts the number, the architecture and the low half of the first argument of a call. */
const AT = { number: 0, architecture: 4, argument: 16 }
const architectures = { x64: 0xc000003e, arm64: 0xc00000b7 }
/** The numbers of x64 from here on are for its 32-bit variant x32, which nothing here uses. */
const X32_FROM = 0x40000000

type Architecture = keyof typeof architectures

interface Instruction {
  readonly code: number
  readonly k: number
  /** How many instructions to skip when the comparison holds, and when it does not. */
  readonly ifTrue?: number
  readonly ifFalse?: number
}

/**
 * The filter as the kernel takes it. A call of another architecture ends the process.
 * @returns undefined for an architecture that the table does not have
 */
export function seccompFilter(confined: Confined, architecture: string = process.arch): Buffer | undefined {
  if (!isKnown(architecture) || endianness() !== 'LE') return undefined
  return assemble([
    { code: LOAD, k: AT.architecture },
    { code: IF_EQUAL, k: architectures[architecture], ifTrue: 1 },
    { code: RETURN, k: KILL_PROCESS },
    { code: LOAD, k: AT.number },
    ...search(rangesOf(confined, architecture)),
  ])
}

const isKnown = (architecture: string): architecture is Architecture => architecture in architectures

/** What happens to the calls from this number on, up to the next range. */
interface Range {
  readonly from: number
  readonly body: readonly Instruction[]
}

function rangesOf(confined: Confined, architecture: Architecture): Range[] {
  const allowed = new Map(allowedFor(confined).map(call => [call[architecture], answer(ALLOW)]))
  for (const call of parse(hidden)) allowed.set(call[architecture], answer(refuseWith(ENOSYS)))
  for (const call of parse(conditional)) {
    const conditions = conditionsFor[confined].filter(({ name }) => name === call.name)
    allowed.set(call[architecture], check(conditions))
  }
  const ranges: Range[] = []
  for (let number = 0; number <= NEWEST; number++) append(ranges, number, allowed.get(number) ?? answer(refuseWith(EPERM)))
  append(ranges, NEWEST + 1, answer(refuseWith(ENOSYS)))
  append(ranges, X32_FROM, answer(KILL_PROCESS))
  return ranges
}

/** Calls next to each other that end alike make one range. */
function append(ranges: Range[], from: number, body: readonly Instruction[]): void {
  if (JSON.stringify(ranges.at(-1)?.body) !== JSON.stringify(body)) ranges.push({ from, body })
}

const answer = (k: number): readonly Instruction[] => [{ code: RETURN, k }]

/** Loads the argument again for each condition, since masking it changes it. */
function check(conditions: readonly Condition[]): readonly Instruction[] {
  const tests = conditions.flatMap(({ mask, value }) => [
    { code: LOAD, k: AT.argument },
    { code: AND, k: mask },
    { code: IF_EQUAL, k: value, ifFalse: 1 },
    ...answer(ALLOW),
  ])
  return [...tests, ...answer(refuseWith(EPERM))]
}

/** Finds the range of the number by halving. The kernel remembers which calls it always allows, so this is seldom run. */
function search(ranges: readonly Range[]): readonly Instruction[] {
  const middle = ranges.length >> 1
  const first = ranges[middle]
  if (middle === 0 || first === undefined) return first?.body ?? []
  const before = search(ranges.slice(0, middle))
  return [{ code: IF_AT_LEAST, k: first.from, ifTrue: before.length }, ...before, ...search(ranges.slice(middle))]
}

/** @throws RangeError when a comparison has to skip more instructions than one byte can say */
function assemble(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  program.forEach((instruction, index) => {
    bytes.writeUInt16LE(instruction.code, index * 8)
    bytes.writeUInt8(instruction.ifTrue ?? 0, index * 8 + 2)
    bytes.writeUInt8(instruction.ifFalse ?? 0, index * 8 + 3)
    bytes.writeUInt32LE(instruction.k >>> 0, index * 8 + 4)
  })
  return bytes
}

/** The filter for a base as a profile for a container, in the format of Docker. */
export function containerProfile(): object {
  const names = allowedFor('base').map(({ name }) => name)
  const conditions = conditionsFor.base.map(({ name, mask, value }) => ({
    names: [name],
    action: 'SCMP_ACT_ALLOW',
    args: [{ index: 0, value: mask >>> 0, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' }],
  }))
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    archMap: [
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: [] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: [] },
    ],
    syscalls: [
      { names: names.sort(), action: 'SCMP_ACT_ALLOW' },
      ...conditions,
      { names: parse(hidden).map(({ name }) => name), action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    ],
  }
}
