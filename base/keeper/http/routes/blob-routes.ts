/** The routes about bytes: bundles, source maps and the files of feature tables. */
import { Readable } from 'node:stream'
import Type from 'typebox'
import { Blob, BlobParams } from '../../../contract/blob-api.ts'
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
        bytesMax: limits.features.tableBytesMax,
      },
    },
    gives: { 200: Blob, 201: Blob },
    run: async ({ params: { digest }, body }, { blobs }) => {
      if (!(body instanceof Readable)) {
        throw new BerthError('CONTENT_TYPE_UNSUPPORTED', `Cannot keep blob ${digest}: send it as application/octet-stream`)
      }
      const known = await blobs.has(digest)
      // A refusal does not end the connection, over which the answer has to go.
      const parts = body.iterator({ destroyOnReturn: false })
      const bytes = await blobs.putParts(digest, parts, limits.features.tableBytesMax)
      return answer(known ? 200 : 201, { digest, bytes })
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
