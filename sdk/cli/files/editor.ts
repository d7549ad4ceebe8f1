/** What an editor reads beside the files of a module, so that its debugger stops in them. Other editors are described in docs/modules.md. */

/** Where a process of Node.js waits for a debugger unless that port is taken. */
const NODE_PORT = 9229

/** What the editor puts in when it starts the configuration. */
const variable = (name: string): string => `\${${name}}`

/** What modules need of VS Code. */
const modules = {
  // A module is one script with a source map, which is never on disk: its breakpoints are set before it runs only when the debugger waits for the map.
  pauseForSourceMap: true,
  resolveSourceMapLocations: null,
  skipFiles: ['<node_internals>/**'],
} as const

/** What `sdk test --inspect` needs, whatever it is given to test. */
const debugging = (name: string, path: readonly string[]) => ({
  name,
  type: 'node',
  request: 'launch',
  runtimeExecutable: 'npx',
  runtimeArgs: ['sdk', 'test', '--inspect', ...path],
  cwd: variable('workspaceFolder'),
  console: 'integratedTerminal',
  ...modules,
})

/** What waits in a terminal: `sdk capsule run ID --inspect`, `sdk invoke SCENE --inspect`. */
const attaching = { name: 'Attach to sdk --inspect', type: 'node', request: 'attach', port: NODE_PORT, continueOnAttach: true, ...modules }

/** `.vscode/launch.json` of a module. */
export const launchConfigurations = {
  version: '0.2.0',
  configurations: [debugging('Debug tests', []), debugging('Debug this test file', [variable('file')]), attaching],
}
