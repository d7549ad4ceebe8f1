/** What an editor reads beside the files of a module, so that its debugger stops in them. Other editors are described in docs/modules.md. */

/** What the editor puts in when it starts the configuration. */
const variable = (name: string): string => `\${${name}}`

/** What `sdk test --inspect` needs of VS Code, whatever it is given to test. */
const debugging = (name: string, path: readonly string[]) => ({
  name,
  type: 'node',
  request: 'launch',
  runtimeExecutable: 'npx',
  runtimeArgs: ['sdk', 'test', '--inspect', ...path],
  cwd: variable('workspaceFolder'),
  console: 'integratedTerminal',
  // A module is one script with a source map, which is never on disk: its breakpoints are set before it runs only when the debugger waits for the map.
  pauseForSourceMap: true,
  resolveSourceMapLocations: null,
  skipFiles: ['<node_internals>/**'],
})

/** `.vscode/launch.json` of a module. */
export const launchConfigurations = {
  version: '0.2.0',
  configurations: [debugging('Debug tests', []), debugging('Debug this test file', [variable('file')])],
}
