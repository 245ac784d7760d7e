import { PineError } from '../core/error.ts'

/** For messages: without user, password and query, which may be secret. */
export function publicUrl({ protocol, host, pathname }: URL): string {
  return `${protocol}//${host}${pathname}`
}

/** Throws `USAGE` for what is not an address to fetch from. */
export function parseHttpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && isHttp(url)) return url
  throw new PineError('USAGE', `${withoutSecrets(text)} is not an address to fetch from`, {
    hint: 'it looks like https://updates.example/web-2.0.bundle',
  })
}

/** Where a redirect leads. Throws `DOWNLOAD_FAILED` where nobody may be led. RFC 9110 §10.2.2 */
export function redirectTarget(from: URL, location: string | undefined): URL {
  if (location === undefined || !URL.canParse(location, from.href)) {
    throw new PineError('DOWNLOAD_FAILED', `${publicUrl(from)} redirects, but does not say where to`)
  }
  const to = new URL(location, from)
  if (!isHttp(to) || (from.protocol === 'https:' && to.protocol === 'http:')) {
    throw new PineError(
      'DOWNLOAD_FAILED',
      `${publicUrl(from)} redirects to ${to.protocol}, which is refused`,
      {
        hint: 'from https:// only redirects to https:// are followed',
      },
    )
  }
  // The password is for the server it was given for, and for no other.
  if (to.origin === from.origin && to.username === '') {
    to.username = from.username
    to.password = from.password
  }
  return to
}

function isHttp({ protocol, hostname }: URL): boolean {
  return (protocol === 'http:' || protocol === 'https:') && hostname !== ''
}

function withoutSecrets(text: string): string {
  return text.replace(/\/\/[^/]*@/, '//').replace(/[?#].*/s, '')
}
