/**
 * The tutorial does what it says. Its blocks are read from the page itself and carried out in order, as a reader would: `sh` is typed,
 * `diff` and named files are saved, and what a block shows right after must be printed, where `…` stands for anything. A block of any other
 * kind fails.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { cp, mkdir, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify, stripVTControlCharacters } from 'node:util'
import { root, tempFolder } from './support/base.ts'

const page = 'docs/tutorial.md'
/** These commands go on until Ctrl-C, each in a terminal of its own. */
const endless = /^(npm ci && npm start|npx sdk dev)\b/

interface Block {
  /** The line of the page on which the block starts. */
  readonly line: number
  readonly language: string
  readonly text: string
  /** The text between the block before and this one. */
  readonly prose: string
}

function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = []
  const fence = /^```(.*)\n([\s\S]*?)^```$/gm
  let from = 0
  for (const { 0: whole, 1: language = '', 2: text = '', index } of markdown.matchAll(fence)) {
    const line = markdown.slice(0, index).split('\n').length
    blocks.push({ line, language, text, prose: markdown.slice(from, index).trim() })
    from = index + whole.length
  }
  assert.equal(markdown.match(/```|~~~/g)?.length, 2 * blocks.length, 'a block is indented, or has no end')
  // A command that the text asks to type outside of a block would not be run.
  for (const { line, prose } of blocks) assert.doesNotMatch(prose, /`(npx|npm|curl) /, `${page}: before line ${line}`)
  return blocks
}

/** The file that the text before a block asks to save. */
function fileIn({ prose, line }: Block): string {
  const named = [...prose.matchAll(/`([\w./-]+\.(?:ts|json))`/g)].at(-1)?.[1]
  assert.ok(named !== undefined, `${page}:${line}: which file is this?`)
  return named
}

/** Edits a file as a reader does. The lines that stay and those with a minus must be in the file exactly once. */
function applyDiff(path: string, { text, line }: Block): void {
  for (const hunk of text.split(/^@@.*\n/m)) {
    const lines = hunk.split('\n').slice(0, -1)
    const side = (other: string) => lines.flatMap(each => (each.startsWith(other) ? [] : [each.slice(1)])).join('\n')
    const parts = readFileSync(path, 'utf8').split(side('+'))
    assert.equal(parts.length, 2, `${page}:${line}: these lines are in ${path} ${parts.length - 1} times:\n${side('+')}`)
    writeFileSync(path, parts.join(side('-')))
  }
}

/**
 * A pattern of what must be printed.
 * @param loose whether other lines may be among these
 */
function patternOf(expected: string, loose: boolean): RegExp {
  const lines = expected.trimEnd().split('\n')
  const patterns = lines.map(line => (line.trim() === '…' ? '(?:.*\\n)*?' : `${line.split('…').map(RegExp.escape).join('.*')}[ \\t]*\\n`))
  return loose ? new RegExp(`^${patterns.join('(?:.*\\n)*?')}`, 'm') : new RegExp(`^${patterns.join('')}$`)
}

const plain = (text: string): string => stripVTControlCharacters(text).replaceAll('\r', '')

/** A terminal in which a command keeps running. */
class Terminal {
  readonly #child: ChildProcess
  #text = ''
  #ended = false

  constructor(t: TestContext, command: string, cwd: string, env: NodeJS.ProcessEnv) {
    this.#child = spawn('bash', ['-c', command], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#text += plain(text)
        this.#child.emit('printed')
      })
    }
    this.#child.once('close', () => {
      this.#ended = true
      this.#child.emit('printed')
    })
    t.after(() => this.#kill())
  }

  /** Resolves with what matches, and forgets that and everything printed before it. */
  async shown(pattern: RegExp): Promise<void> {
    const { index, 0: text } = await this.printed(pattern)
    this.#text = this.#text.slice(index + text.length)
  }

  /** Resolves with what matches. Nothing is forgotten: what comes by another stream may have been printed before or after it. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#text)
      if (found !== null) return found
      assert.ok(!this.#ended, `it ended without ${pattern}:\n${this.#text}`)
      await once(this.#child, 'printed')
    }
  }

  /** The launcher passes the signal on. */
  interrupt(): void {
    this.#child.kill('SIGINT')
  }

  async #kill(): Promise<void> {
    if (this.#ended || this.#child.pid === undefined) return
    // This kills the whole process group, so that no process outlives the test.
    process.kill(-this.#child.pid, 'SIGKILL')
    await once(this.#child, 'close')
  }
}

/** A shell that keeps its working folder. */
class Shell {
  readonly #child: ChildProcess
  #text = ''

  constructor(t: TestContext, cwd: string, env: NodeJS.ProcessEnv) {
    this.#child = spawn('bash', [], { cwd, env, stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdin?.write('exec 2>&1\n')
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text
    })
    t.after(() => void this.#child.kill())
  }

  async run(line: string): Promise<{ readonly code: number; readonly output: string }> {
    const end = /␞(\d+)\n/
    this.#text = ''
    this.#child.stdin?.write(`{ ${line}\n} < /dev/null; printf '␞%s\\n' $?\n`)
    for (;;) {
      const found = end.exec(this.#text)
      if (found !== null) return { code: Number(found[1]), output: plain(this.#text.slice(0, found.index)) }
      if (this.#child.stdout) await once(this.#child.stdout, 'data')
    }
  }

  async cwd(): Promise<string> {
    return (await this.run('pwd')).output.trim()
  }
}

/** `npm` and `npx` without the seconds that they take: these run what those would run. Whether npx finds it has a test of its own. */
const standIns = {
  npm: `[ "$1" = ci ] && exit
exec $(node -p "require('./package.json').scripts['$1']")`,
  npx: `name=$1; shift
[ -x node_modules/.bin/$name ] && exec node_modules/.bin/$name "$@"
exec node "$(node -p "require('./package.json').bin['$name']")" "$@"`,
}

/** A folder like a clone after `npm ci`, so that the tutorial meets no other base. */
async function clone(): Promise<{ readonly folder: string; readonly env: NodeJS.ProcessEnv }> {
  const above = await tempFolder()
  const [folder, bin] = [join(above, 'berth'), join(above, 'bin')]
  const parts = ['base', 'bin', 'fixtures', 'modules', 'scripts', 'sdk', 'package.json', 'tsconfig.json']
  // Another test may be building files there meanwhile, which are left out.
  const filter = (path: string) => basename(path) !== 'dist'
  await Promise.all(parts.map(part => cp(join(root, part), join(folder, part), { recursive: true, filter })))
  // The link goes to the folder itself, not to another link, because cells may read neither end of a chain of links.
  await symlink(realpathSync(join(root, 'node_modules')), join(folder, 'node_modules'), 'junction')
  await mkdir(bin)
  for (const [name, script] of Object.entries(standIns)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  const { BERTH_BASE: _, BERTH_TOKEN: __, BERTH_DATA: ___, ...env } = process.env
  return { folder, env: { ...env, PATH: `${bin}:${env.PATH}`, no_proxy: '127.0.0.1' } }
}

/** A reader who does what the page says. */
class Reader {
  readonly #t: TestContext
  readonly #folder: string
  readonly #env: NodeJS.ProcessEnv
  #shell: Shell | undefined
  #terminal: Terminal | undefined
  /** The ports that the page names, and those that are used here. */
  #ports: readonly (readonly [said: string, here: string])[] = []

  constructor(t: TestContext, folder: string, env: NodeJS.ProcessEnv) {
    this.#t = t
    this.#folder = folder
    this.#env = env
  }

  async do(block: Block, expected: Block | undefined): Promise<void> {
    if (block.language === 'sh' && endless.test(block.text)) await this.#open(block)
    else if (block.language === 'sh') await this.#type(block, expected)
    else if (block.language === 'diff') applyDiff(join(await this.#cwd(), fileIn(block)), block)
    else if (block.language === 'ts' || block.language === 'json') writeFileSync(join(await this.#cwd(), fileIn(block)), block.text)
    else if (block.language === '') await this.#watch(block)
    else assert.fail(`${page}:${block.line}: what is to be done with "${block.language}"?`)
  }

  async #cwd(): Promise<string> {
    return this.#shell?.cwd() ?? this.#folder
  }

  async #open({ text }: Block): Promise<void> {
    const isBase = this.#shell === undefined
    const env = isBase
      ? { ...this.#env, BERTH_PORT: '0', BERTH_CONTROL_PORT: '0', BERTH_CELLS: '1' }
      : { ...this.#env, BERTH_CONTROL_PORT: this.#here('8081') }
    this.#terminal = new Terminal(this.#t, text.trim(), await this.#cwd(), env)
    if (!isBase) return
    const [, ready = ''] = await this.#terminal.printed(/^(\{.*"msg":"base ready"\})\n/m)
    const { port, controlPort } = JSON.parse(ready) as { port: number; controlPort: number }
    this.#ports = [
      ['8080', String(port)],
      ['8081', String(controlPort)],
    ]
    this.#shell = new Shell(this.#t, this.#folder, { ...this.#env, BERTH_CONTROL_PORT: String(controlPort) })
  }

  async #type({ text, line }: Block, expected: Block | undefined): Promise<void> {
    assert.ok(this.#shell !== undefined, 'no base is running')
    let printed = ''
    for (const command of text.trimEnd().replaceAll('\\\n', '').split('\n')) {
      const { code, output } = await this.#shell.run(this.#here(command))
      printed += output
      assert.equal(code !== 0, expected?.text.includes('✖') ?? false, `${page}:${line}: "${command}" ended with ${code}:\n${output}`)
    }
    if (printed !== '' && !printed.endsWith('\n')) printed += '\n'
    const said = this.#ports.reduce((text, [said, here]) => text.replaceAll(`127.0.0.1:${here}`, `127.0.0.1:${said}`), printed)
    const matches = patternOf(expected?.text ?? '', false).test(said)
    assert.ok(matches, `${page}:${line}: ${text}printed\n${said}\nand not\n${expected?.text ?? 'nothing'}`)
  }

  /** Looks at the terminal that was opened last. */
  async #watch({ text, prose, line }: Block): Promise<void> {
    assert.ok(this.#terminal !== undefined, `${page}:${line}: who says this?`)
    if (prose.includes('Ctrl-C')) this.#terminal.interrupt()
    await this.#terminal.shown(patternOf(this.#here(text), true))
  }

  #here(text: string): string {
    return this.#ports.reduce((text, [said, here]) => text.replaceAll(said, here), text)
  }
}

const unix = { skip: process.platform === 'win32' && 'its lines are for a Unix shell', timeout: 240_000 }

test('every line of the tutorial does what the tutorial says', unix, async t => {
  const { folder, env } = await clone()
  const reader = new Reader(t, folder, env)
  const blocks = blocksOf(readFileSync(join(root, page), 'utf8'))
  assert.ok(blocks.length > 20)
  const isTyped = (block: Block | undefined) => block?.language === 'sh' && !endless.test(block.text)
  for (const [index, block] of blocks.entries()) {
    const after = blocks[index + 1]
    const isOutput = block.prose === '' && isTyped(blocks[index - 1])
    if (!isOutput || block.language === 'sh') await reader.do(block, after?.prose === '' && after.language !== 'sh' ? after : undefined)
  }
})

test('npx finds sdk in a clone, and in a module that was made outside it', unix, async () => {
  const { folder } = await clone()
  const npx = async (cwd: string, ...args: string[]) => (await promisify(execFile)('npx', ['--no', '--', 'sdk', ...args], { cwd })).stdout
  await npx(folder, 'init', '../shop-rank', '--yes')
  assert.match(await npx(join(folder, '../shop-rank'), '--version'), /^\d+\.\d+\.\d+\n$/)
})
