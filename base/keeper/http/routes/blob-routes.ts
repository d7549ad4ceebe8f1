/** The routes about bytes: bundles and source maps. */
import Type from 'typebox'
import { Blob, BlobParams } from '../../../contract/blob-api.ts'
import { digestOf } from '../../../folder/blob-files.ts'
import { BerthError } from '../../../kernel/errors.ts'
import { limits } from '../../../kernel/limits.ts'
import { answer, ok, route } from '../route.ts'

export const blobRoutes = [
  route({
    operation: 'putBlob',
    method: 'PUT',
    path: '/api/blobs/:digest',
    right: 'publish',
    about: 'Keep bytes under their sha256',
    write: false,
    takes: {
      params: BlobParams,
      body: {
        types: ['application/octet-stream'],
        schema: Type.String({ description: 'the bytes' }),
        checked: false,
        bytesMax: limits.module.sourceMapBytesMax,
      },
    },
    gives: { 200: Blob, 201: Blob },
    run: async ({ params: { digest }, body }, { blobs }) => {
      const action = `Cannot keep blob ${digest}`
      if (!Buffer.isBuffer(body)) throw new BerthError('CONTENT_TYPE_UNSUPPORTED', `${action}: send it as application/octet-stream`)
      const actual = await digestOf(body)
      if (actual !== digest) throw new BerthError('BLOB_DIGEST_MISMATCH', `${action}: the bytes have the digest ${actual}`)
      const known = await blobs.has(digest)
      await blobs.put(body)
      return answer(known ? 200 : 201, { digest, bytes: body.length })
    },
  }),
  route({
    operation: 'headBlob',
    method: 'HEAD',
    path: '/api/blobs/:digest',
    right: 'read',
    about: 'Whether there are bytes with this sha256',
    takes: { params: BlobParams },
    gives: { 200: Type.Null({ description: 'there are' }) },
    run: async ({ params: { digest } }, { blobs }) => {
      if (await blobs.has(digest)) return ok(null)
      throw new BerthError('BLOB_NOT_FOUND', `Cannot find blob ${digest}: it was not uploaded`)
    },
  }),
]
