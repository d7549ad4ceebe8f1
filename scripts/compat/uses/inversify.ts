import 'reflect-metadata'
import { Container, inject, injectable, named } from 'inversify'

interface Scorer {
  score(id: string): number
}

@injectable()
class ByLength implements Scorer {
  score(id: string): number {
    return id.length
  }
}
@injectable()
class Constant implements Scorer {
  score(): number {
    return 7
  }
}
@injectable()
class Ranker {
  @inject('Scorer') @named('length') readonly first!: Scorer
  @inject('Scorer') @named('constant') readonly second!: Scorer
}
export const input = { ids: ['a', 'bbb'] }
export const use = ({ ids }: typeof input) => {
  const container = new Container()
  container.bind<Scorer>('Scorer').to(ByLength).inSingletonScope().whenNamed('length')
  container.bind<Scorer>('Scorer').to(Constant).whenNamed('constant')
  container.bind(Ranker).toSelf()
  const ranker = container.get(Ranker)
  return ids.map(id => [ranker.first.score(id), ranker.second.score(id)])
}
