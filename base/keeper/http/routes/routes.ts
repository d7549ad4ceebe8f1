/** All routes of the control API, by the tag that they have in its OpenAPI document. */
import type { Route } from '../route.ts'
import { baseRoutes, probeRoutes, rootRoutes } from './base-routes.ts'
import { blobRoutes } from './blob-routes.ts'
import { capsuleRoutes } from './capsule-routes.ts'
import { experimentRoutes } from './experiment-routes.ts'
import { featureRoutes } from './feature-routes.ts'
import { logRoutes } from './log-routes.ts'
import { moduleRoutes } from './module-routes.ts'
import { paramsRoutes } from './params-routes.ts'
import { profileRoutes } from './profile-routes.ts'
import { sceneRoutes } from './scene-routes.ts'
import { serviceRoutes } from './service-routes.ts'
import { tokenRoutes } from './token-routes.ts'
import { versionRoutes } from './version-routes.ts'
import { whitelistRoutes } from './whitelist-routes.ts'

export const routes: Readonly<Record<string, readonly Route[]>> = {
  about: rootRoutes,
  probes: probeRoutes,
  blobs: blobRoutes,
  modules: moduleRoutes,
  features: featureRoutes,
  services: serviceRoutes,
  scenes: [...sceneRoutes, ...logRoutes, ...profileRoutes],
  versions: versionRoutes,
  whitelist: whitelistRoutes,
  capsules: capsuleRoutes,
  params: paramsRoutes,
  experiments: experimentRoutes,
  base: baseRoutes,
  tokens: tokenRoutes,
}
