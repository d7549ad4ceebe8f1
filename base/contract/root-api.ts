/** What `GET /` answers on either port: what it is, and where to look. */
import Type from 'typebox'
import { baseModes } from '../kernel/options.ts'
import type { Shape } from './shape.ts'

const Links = Type.Record(Type.String(), Type.String(), { description: 'what there is, by path' })

export const ControlRoot = Type.Object({
  name: Type.Literal('berth'),
  is: Type.String(),
  version: Type.String({ description: 'of Berth' }),
  mode: Type.Enum(baseModes, { description: 'what the base is for' }),
  id: Type.Union([Type.String(), Type.Null()], {
    description: 'of this run of the base, as the file base.json in its data folder; null while it starts',
  }),
  links: Links,
})
export type ControlRoot = Shape<typeof ControlRoot>

export const controlLinks: ControlRoot['links'] = {
  '/docs': 'the control API, with a page to try it',
  '/docs/json': 'the same as OpenAPI',
  '/docs/scenes.json': 'how scenes are called, as OpenAPI',
  '/errors': 'every error code, and what to do about it',
  '/readyz': 'whether the base can answer for its scenes',
  '/healthz': 'whether the keeper is up',
  '/metrics': 'metrics for Prometheus',
}

export const SceneRoot = Type.Object({ name: Type.Literal('berth'), is: Type.String(), links: Links })
export type SceneRoot = Shape<typeof SceneRoot>

export const sceneRoot: SceneRoot = {
  name: 'berth',
  is: 'where scenes answer: POST /scenes/ID with a JSON body',
  links: {
    '/openapi.json': 'how scenes are called, as OpenAPI',
    '/readyz': 'whether scenes can answer',
    '/healthz': 'whether this port is served',
  },
}
