/** Decoders for the encodings of East Asia, with their tables. */
import { createMultibyteDecoder } from '@exodus/bytes/multi-byte.js'

export default { createMultibyteDecoder }
