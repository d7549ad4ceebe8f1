/** Names of npm packages in paths. */

/** The npm package that a file belongs to; undefined for the module's own files. */
export function dependencyOf(file: string): string | undefined {
  const at = file.lastIndexOf('node_modules/')
  return at < 0 ? undefined : packageOf(file.slice(at + 'node_modules/'.length))
}

/** The package in `@scope/name/folder/file`. */
export function packageOf(path: string): string {
  return path
    .split('/')
    .slice(0, path.startsWith('@') ? 2 : 1)
    .join('/')
}
