import type { Agent } from 'node:http'
import { getProxyForUrl } from 'proxy-from-env'
import { PineError } from '../core/error.ts'

/**
 * The way through the proxy that `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy` name for an address; undefined
 * where it is asked directly. `signal` also ends a connection to a proxy that does not answer.
 */
export async function proxyAgent(url: URL, signal: AbortSignal): Promise<Agent | undefined> {
  const named = getProxyForUrl(url.href)
  if (named === '') return undefined
  const proxy = URL.canParse(named) ? new URL(named) : undefined
  if (proxy?.protocol !== 'http:' && proxy?.protocol !== 'https:') {
    throw new PineError(
      'DOWNLOAD_FAILED',
      `the proxy for ${url.host} has no address with http:// or https://`,
      {
        hint: 'look at the environment variables https_proxy, http_proxy, all_proxy and no_proxy',
      },
    )
  }
  if (url.protocol === 'https:') {
    const { HttpsProxyAgent } = await import('https-proxy-agent')
    return new HttpsProxyAgent(proxy, { signal })
  }
  const { HttpProxyAgent } = await import('http-proxy-agent')
  return new HttpProxyAgent(proxy, { signal })
}
