import { UAParser } from 'ua-parser-js'
export const input = {
  agent:
    'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1',
}
export const use = ({ agent }) => {
  const { browser, device, engine, os } = new UAParser(agent).getResult()
  return { browser: { ...browser }, device: { ...device }, engine: { ...engine }, os: { ...os } }
}
