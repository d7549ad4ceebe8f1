/**
 * A small npm registry for tests. It serves packed packages of this project, and sends whoever asks for another package on to the registry that npm is
 * configured with. That one never hears of the packages of this project.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename } from 'node:path'
import { gunzipSync } from 'node:zlib'

export interface Registry extends AsyncDisposable {
  /** Without a slash at the end. */
  readonly url: string
  /** Packages of this project that were asked for and served, and files of them, in order: `@berth/sdk`, `berth-sdk-1.0.0.tgz`. */
  readonly served: readonly string[]
  /** Names and files that the other registry was left to answer for, in order. */
  readonly sentOn: readonly string[]
  /** What was refused: packages of the scope that are not there, and methods that a registry for reading lacks. */
  readonly refused: readonly string[]
}

interface Packed {
  readonly name: string
  readonly version: string
  readonly file: string
  readonly bytes: Buffer
  readonly manifest: object
}

/** What npm would be told by nobody else: the scope that the public registry must not be asked for. */
const SCOPE = '@berth/'

/**
 * @param tarballs paths of what `npm pack` made; for several versions of a package, the last one is the latest
 * @param other URL of the registry that has everything else
 */
export async function startRegistry(tarballs: readonly string[], other: string): Promise<Registry> {
  const packages = Map.groupBy(tarballs.map(read), ({ name }) => name)
  const files = new Map([...packages.values()].flat().map(packed => [packed.file, packed.bytes]))
  const served: string[] = []
  const sentOn: string[] = []
  const refused: string[] = []

  const answer = ({ method, url = '/', headers }: IncomingMessage, response: ServerResponse): void => {
    const path = decodeURIComponent(new URL(url, 'http://registry').pathname).slice(1)
    // npm asks about known faults of everything that it installs. Here, nobody knows of any.
    const isQuestion = path.startsWith('-/npm/v1/security/')
    const versions = packages.get(path)
    const file = path.startsWith(SCOPE) ? files.get(basename(path)) : undefined
    if (isQuestion) {
      send(response, 200, '{}')
    } else if (method !== 'GET' && method !== 'HEAD') {
      refused.push(`${method} ${path}`)
      send(response, 405, '{"error":"this registry is for reading"}')
    } else if (versions !== undefined) {
      served.push(path)
      send(response, 200, JSON.stringify(packument(versions, `http://${headers.host}`)))
    } else if (file !== undefined) {
      served.push(basename(path))
      send(response, 200, file, 'application/octet-stream')
    } else if (path.startsWith(SCOPE)) {
      refused.push(path)
      send(response, 404, '{"error":"not found"}')
    } else {
      sentOn.push(path)
      response.writeHead(302, { location: new URL(url.slice(1), other.replace(/\/*$/, '/')).href }).end()
    }
  }

  const server = createServer(answer)
  const listening = Promise.withResolvers<void>()
  server.once('error', listening.reject).listen(0, '127.0.0.1', listening.resolve)
  await listening.promise
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    served,
    sentOn,
    refused,
    [Symbol.asyncDispose]: async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      server.close(() => resolve())
      server.closeAllConnections()
      await promise
    },
  }
}

function send(response: ServerResponse, status: number, body: string | Buffer, type = 'application/json'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' }).end(body)
}

/** What a registry says of a package: its versions, each with where its file is and what the file must be. */
function packument(packed: readonly Packed[], url: string): object {
  const entries = packed.map(({ name, version, file, bytes, manifest }) => {
    const hash = (algorithm: string, encoding: 'hex' | 'base64') => createHash(algorithm).update(bytes).digest(encoding)
    const dist = { tarball: `${url}/${name}/-/${file}`, shasum: hash('sha1', 'hex'), integrity: `sha512-${hash('sha512', 'base64')}` }
    return [version, { ...manifest, dist }] as const
  })
  return { name: packed[0]?.name, 'dist-tags': { latest: packed.at(-1)?.version }, versions: Object.fromEntries(entries) }
}

function read(tarball: string): Packed {
  const bytes = readFileSync(tarball)
  const manifest = JSON.parse(fileIn(gunzipSync(bytes), 'package/package.json')) as { readonly name: string; readonly version: string }
  return { name: manifest.name, version: manifest.version, file: basename(tarball), bytes, manifest }
}

/** A tar archive is a row of entries: a head of 512 bytes, then the file, filled up to a multiple of 512. */
function fileIn(tar: Buffer, path: string): string {
  const text = (from: number, to: number) => tar.toString('utf8', from, to).replace(/\0.*/s, '')
  for (let head = 0; head < tar.length; ) {
    const size = Number.parseInt(text(head + 124, head + 136), 8) || 0
    if (text(head, head + 100) === path) return tar.toString('utf8', head + 512, head + 512 + size)
    head += 512 + Math.ceil(size / 512) * 512
  }
  throw new Error(`There is no ${path} in the archive`)
}
