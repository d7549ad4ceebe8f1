/** Writes the profile for containers, `deploy/seccomp.json`, from the table of system calls. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { containerProfile } from '../base/process/seccomp.ts'

const path = fileURLToPath(new URL('../deploy/seccomp.json', import.meta.url))
mkdirSync(dirname(path), { recursive: true })
writeFileSync(path, `${JSON.stringify(containerProfile(), null, 2)}\n`)
