import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ValidationReport } from '../../../base/contract/validation-api.ts'
import { describeValidation } from './validation-report.ts'

const passed: ValidationReport = {
  ...{ verdict: 'passed', mode: 'strict', what: 'version', baseline: 'v3', candidate: 'v4', capsules: 450, answered: 450, comparable: 450 },
  ...{ differing: 0, reasons: [], missingReplies: [], errors: [], mended: 0, newHosts: [], fields: [], fieldsLeftOut: 0, tookMs: 900 },
}

test('a report begins with how much could be compared, and says first why a candidate fails', () => {
  const report: ValidationReport = {
    ...passed,
    ...{ verdict: 'failed', comparable: 440, differing: 5 },
    reasons: [{ fault: 'differences', message: 'v4 answers 5 of 440 requests (1.13%) otherwise' }],
    missingReplies: [{ kind: 'service', target: 'features.get', requests: 10 }],
    cpu: { baselineMs: 0.4, candidateMs: 0.41, ratio: 1.02 },
    fields: [
      {
        ...{ path: '/items/*/score', kind: 'value', requests: 5, noise: 0, counts: true, carriedOver: 0 },
        absolute: { p50: 0.01, p90: 0.02, max: 0.02 },
        relative: { p50: 0.01, p90: 0.01, max: 0.0125 },
        examples: [{ capsule: '8f2a', before: '0.78', after: '0.79' }],
      },
      {
        ...{ path: '/items', kind: 'list', requests: 2, noise: 0, counts: true, carriedOver: 0, examples: [] },
        list: { missing: 1, added: 2, moved: 1 },
      },
      { path: '/at', kind: 'value', requests: 440, noise: 440, counts: false, carriedOver: 0, examples: [] },
    ],
  }
  assert.deepEqual(describeValidation(report), [
    '440 of 450 captured requests can be compared (97.8%)',
    '  validation of v4, against v3: FAILED',
    '  ✖ v4 answers 5 of 440 requests (1.13%) otherwise',
    '  a request, from the baseline to the candidate: CPU 0.4 ms → 0.41 ms (1.02×)',
    '  /items/*/score differs, half by at most 0.01 (1%), all by at most 0.02 (1.25%), in 5 of 440 requests (1.14%)',
    '      8f2a  0.78 → 0.79',
    '  /items has 1 item fewer, 2 items more, 1 item in another place, in 2 of 440 requests (0.455%)',
    '  1 field differs within the noise of the baseline, or as the scene allows',
    '  not compared: 10 requests that asked the service features.get for what was not recorded',
  ])
})

test('a report without captured requests is one line', () => {
  assert.deepEqual(describeValidation({ ...passed, verdict: 'no data', capsules: 0, answered: 0, comparable: 0 }), [
    'not validated: there are no captured requests to answer',
  ])
})
