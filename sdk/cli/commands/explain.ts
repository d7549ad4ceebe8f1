/** `sdk explain`: which version a request would be answered by, and why. */
import { parseAttributes, parseVersion } from '../arguments.ts'
import type { Context } from '../context.ts'
import { colorsFor } from '../terminal/colors.ts'
import { describeOutcome, describeStep } from '../views/experiment-view.ts'

export interface ExplainOptions {
  readonly unit?: string
  readonly attr?: readonly string[]
  readonly pin?: string
  readonly loadtest?: boolean
  readonly requestId?: string
}

/** Shows every rule in the order it was asked, then the outcome. The question counts in no metric and as no exposure. */
export async function explain({ client, out }: Context, scene: string, options: ExplainOptions): Promise<void> {
  const { unit, attr = [], pin, loadtest, requestId } = options
  const attributes = parseAttributes(attr)
  const explanation = await client.explain(scene, {
    unit,
    pin: pin === undefined ? undefined : parseVersion(pin),
    loadtest,
    requestId,
    attributes,
  })
  out.result(explanation)
  const colors = colorsFor(process.stdout)
  const mark = (decided: boolean) => (decided ? colors.green('✔') : colors.dim('·'))
  const asked = [unit === undefined ? 'no unit id' : `unit ${unit}`, ...attr]
  out.say(`${colors.bold(scene)}  ${asked.join(', ')}`)
  for (const step of explanation.steps) {
    const [said = '', ...draws] = describeStep(step, mark)
    out.say(`  ${said}`)
    for (const draw of draws) out.say(`  ${colors.dim(draw)}`)
  }
  const [outcome = '', ...rest] = describeOutcome(explanation)
  out.say(`${colors.bold(outcome)}`)
  for (const line of rest) out.say(line)
}
