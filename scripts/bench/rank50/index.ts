/** The handler of the bench. All peers run the same function. */
export interface Candidate {
  readonly id: string
  readonly price: number
  readonly ageDays: number
  readonly embedding: readonly number[]
}

export interface Input {
  readonly user: { readonly embedding: readonly number[]; readonly budget: number }
  readonly candidates: readonly Candidate[]
}

export interface Ranked {
  readonly id: string
  readonly score: number
}

export function rank({ user, candidates }: Input): Ranked[] {
  return candidates.map(candidate => ({ id: candidate.id, score: score(user, candidate) })).sort((a, b) => b.score - a.score)
}

function score(user: Input['user'], { embedding, price, ageDays }: Candidate): number {
  let dot = 0
  for (let i = 0; i < embedding.length; i++) dot += (embedding[i] ?? 0) * (user.embedding[i] ?? 0)
  return 1 / (1 + Math.exp(-dot)) - Math.log1p(Math.max(0, price - user.budget)) * 0.1 - ageDays * 0.001
}

/** An input that is the same in every run: 3.6 KB of JSON with 50 candidates. */
export function sampleInput(count = 50): Input {
  const at = (i: number, j: number) => Math.round(Math.sin(i * 7.3 + j * 1.7) * 100) / 100
  const candidates = Array.from({ length: count }, (_, i) => ({
    id: `i${i}`,
    price: 10 + ((i * 37) % 90),
    ageDays: (i * 13) % 60,
    embedding: [at(i, 0), at(i, 1), at(i, 2), at(i, 3)],
  }))
  return { user: { embedding: [0.3, -0.2, 0.8, 0.1], budget: 50 }, candidates }
}
