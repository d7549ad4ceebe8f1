/**
 * A reader of docs/tutorial.md. The blocks of the page are carried out in order: `sh` is typed, `diff` and named files are saved, and what a block shows
 * right after must be printed, where `…` stands for anything. A block of any other kind fails.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'

export const page = 'docs/tutorial.md'
/** These commands go on until Ctrl-C, each in a terminal of its own. */
const endless = /\b(base start|sdk dev)\b/

export interface Block {
  /** The line of the page on which the block starts. */
  readonly line: number
  readonly language: string
  readonly text: string
  /** The text between the block before and this one. */
  readonly prose: string
}

export function blocksOf(markdown: string): Block[] {
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

/**
 * Edits a file as a reader does, and saves it once: a command that watches it would see what is half done. The lines that stay and those with a minus must be
 * in the file exactly once.
 */
function applyDiff(path: string, { text, line }: Block): void {
  let edited = readFileSync(path, 'utf8')
  for (const hunk of text.split(/^@@.*\n/m)) {
    const lines = hunk.split('\n').slice(0, -1)
    const side = (other: string) => lines.flatMap(each => (each.startsWith(other) ? [] : [each.slice(1)])).join('\n')
    const parts = edited.split(side('+'))
    assert.equal(parts.length, 2, `${page}:${line}: these lines are in ${path} ${parts.length - 1} times:\n${side('+')}`)
    edited = parts.join(side('-'))
  }
  writeFileSync(path, edited)
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

/** A real terminal shows the keys that are pressed. */
const plain = (text: string): string => stripVTControlCharacters(text).replaceAll('\r', '').replaceAll('^C', '')

/** A command that keeps running, in a terminal of its own. */
class Terminal implements AsyncDisposable {
  readonly #child: ChildProcess
  #text = ''
  #ended = false

  /** @param isReal whether the command sees a terminal, in which keys can be pressed; else it sees that its output is read by a program */
  constructor(command: string, cwd: string, env: NodeJS.ProcessEnv, isReal: boolean) {
    const [file, args]: [string, string[]] = isReal ? ['script', ['-qfec', command, '/dev/null']] : ['bash', ['-c', command]]
    this.#child = spawn(file, args, { cwd, env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
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

  /** Presses Ctrl-C. */
  interrupt(): void {
    this.#child.stdin?.write('\x03')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended || this.#child.pid === undefined) return
    // This kills the whole process group, so that no process outlives the test.
    process.kill(-this.#child.pid, 'SIGKILL')
    await once(this.#child, 'close')
  }
}

/** A shell that keeps its working folder. */
class Shell implements Disposable {
  readonly #child: ChildProcess
  #text = ''

  constructor(cwd: string, env: NodeJS.ProcessEnv) {
    this.#child = spawn('bash', [], { cwd, env, stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdin?.write('exec 2>&1\n')
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text
    })
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

  [Symbol.dispose](): void {
    this.#child.kill()
  }
}

/** What the reader has typed, and how long it took. */
export interface Step {
  readonly command: string
  readonly ms: number
}

/** A reader who does what the page says. */
export class Reader implements AsyncDisposable {
  readonly #env: NodeJS.ProcessEnv
  readonly #shell: Shell
  readonly #terminals: Terminal[] = []
  /** The ports that the page names, and those that are used here. */
  #ports: readonly (readonly [said: string, here: string])[] = []

  /** @param folder in which the first terminal is opened */
  constructor(folder: string, env: NodeJS.ProcessEnv) {
    this.#env = env
    this.#shell = new Shell(folder, env)
  }

  /**
   * Does what the blocks say, one after the other. Gives what was typed, after it was done.
   * @throws AssertionError for the first block that does not do what the page says
   */
  async *read(blocks: readonly Block[]): AsyncGenerator<Step, void, void> {
    for (const [index, block] of blocks.entries()) {
      const [before, after] = [blocks[index - 1], blocks[index + 1]]
      const isOutput = block.prose === '' && before?.language === 'sh' && !endless.test(before.text) && block.language !== 'sh'
      if (isOutput) continue
      const startedAt = performance.now()
      await this.#do(block, after?.prose === '' && after.language !== 'sh' ? after : undefined)
      if (block.language === 'sh') yield { command: block.text.trim(), ms: Math.round(performance.now() - startedAt) }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#shell[Symbol.dispose]()
    for (const terminal of this.#terminals) await terminal[Symbol.asyncDispose]()
  }

  async #do(block: Block, expected: Block | undefined): Promise<void> {
    if (block.language === 'sh' && endless.test(block.text)) await this.#open(block)
    else if (block.language === 'sh') await this.#type(block, expected)
    else if (block.language === 'diff') applyDiff(join(await this.#shell.cwd(), fileIn(block)), block)
    else if (block.language === 'ts' || block.language === 'json') writeFileSync(join(await this.#shell.cwd(), fileIn(block)), block.text)
    else if (block.language === '') await this.#watch(block)
    else assert.fail(`${page}:${block.line}: what is to be done with "${block.language}"?`)
  }

  async #open({ text }: Block): Promise<void> {
    const ports = { BERTH_PORT: '0', BERTH_CONTROL_PORT: '0', BERTH_CELLS: '1' }
    const isBase = text.includes('base start')
    const terminal = new Terminal(text.trim(), await this.#shell.cwd(), isBase ? { ...this.#env, ...ports } : this.#env, !isBase)
    this.#terminals.push(terminal)
    if (!isBase) return
    const [, ready = ''] = await terminal.printed(/^(\{.*"msg":"base ready"\})\n/m)
    const { port, controlPort } = JSON.parse(ready) as { port: number; controlPort: number }
    this.#ports = [
      ['8080', String(port)],
      ['8081', String(controlPort)],
    ]
  }

  async #type({ text, line }: Block, expected: Block | undefined): Promise<void> {
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
    const terminal = this.#terminals.at(-1)
    assert.ok(terminal !== undefined, `${page}:${line}: who says this?`)
    if (prose.includes('Ctrl-C')) terminal.interrupt()
    await terminal.shown(patternOf(this.#here(text), true))
  }

  #here(text: string): string {
    return this.#ports.reduce((text, [said, here]) => text.replaceAll(said, here), text)
  }
}
