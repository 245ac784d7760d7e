import { askOnce, type HttpAnswer, type HttpRequest } from './http-connection.ts'
import { refused } from './http-failure.ts'
import { publicUrl, redirectTarget } from './http-url.ts'

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
const MAX_REDIRECTS = 10

/** Asks with GET and follows redirects. Throws `Interruption`, `TLS_FAILED` or `DOWNLOAD_FAILED`. */
export async function ask(url: URL, request: HttpRequest): Promise<HttpAnswer> {
  let at = url
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await askOnce(at, request)
    if (!REDIRECTS.has(answer.status)) return answer
    answer.close()
    at = redirectTarget(at, answer.headers.location)
  }
  throw refused(url, `redirects more than ${MAX_REDIRECTS} times, lastly to ${publicUrl(at)}`)
}
