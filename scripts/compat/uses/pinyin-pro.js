import { match, pinyin, polyphonic } from 'pinyin-pro'
export const input = { text: '重庆银行行长推荐算法' }
export const use = ({ text }) => ({
  plain: pinyin(text),
  array: pinyin(text, { toneType: 'num', type: 'array' }),
  first: pinyin(text, { pattern: 'first' }),
  matched: match('中文拼音', 'zwpy'),
  many: polyphonic('好学'),
})
