/** Bytes under their sha256: bundles, source maps and the files of feature tables. */
import Type from 'typebox'
import { Digest } from '../traffic/schema.ts'
import { closed } from './common-api.ts'
import type { Shape } from './shape.ts'

export const BlobParams = Type.Object({ digest: Digest }, closed)
export const Blob = Type.Object({ digest: Digest, bytes: Type.Integer() })
export type Blob = Shape<typeof Blob>
