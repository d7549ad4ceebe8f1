import segmentit from 'segmentit'

const { Segment, useDefault } = segmentit
export const input = { text: '工信处女干事每月经过下属科室都要亲口交代24口交换机等技术性器件的安装工作' }
export const use = ({ text }) =>
  useDefault(new Segment())
    .doSegment(text)
    .map(({ w, p }) => [w, p])
