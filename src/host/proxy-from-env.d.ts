declare module 'proxy-from-env' {
  /** Empty where the address is to be asked directly. */
  export function getProxyForUrl(url: string): string
}
