// Holdfast's client helper: when a part of the page fails to load because the
// page's release was retired, it reloads the page, once. See docs/client.md.
(() => {
  const script = document.currentScript
  const mount = new URL('.', script.src).href
  const failure = /dynamically imported module|module script failed|preload CSS|ChunkLoadError|Loading (CSS )?chunk/i
  const visit = () => performance.getEntriesByType('navigation')[0]
  const told = () => visit()?.serverTiming?.find((t) => t.name === 'holdfast')?.description
  const status = async (url) => (await fetch(url, { method: 'HEAD', cache: 'no-store' })).status
  let busy, typed

  const check = async (url) => {
    const release = script.dataset.release || told()
    if (busy || !release || (url && !url.startsWith(mount))) return
    busy = true
    const probe = `${mount}@${release}/~client.js` // 410 if the release is retired, else 404
    try {
      // 404: a fetch is no navigation, so spa=on does not answer it.
      if ((await status(probe)) === 410 && [200, 404].includes(await status(location.href))) {
        const e = new CustomEvent('holdfast:stale', { cancelable: true, detail: { release } })
        return dispatchEvent(e) && reload(probe)
      }
    } catch {} // offline: a reload would not help
    busy = false
  }
  const reload = (mark) => {
    if (document.hidden) return document.addEventListener('visibilitychange', () => reload(mark), { once: true })
    try {
      if (sessionStorage[mark]) return
      sessionStorage[mark] = 1
    } catch {
      if (visit()?.type !== 'navigate') return
    }
    if (!typed || confirm(script.dataset.ask || 'This page is out of date. Reload it?')) location.reload()
  }

  const inspect = (error) => failure.test(error) && check()
  addEventListener('holdfast:check', () => check())
  addEventListener('vite:preloadError', (e) => inspect(e.payload))
  addEventListener('unhandledrejection', (e) => inspect(e.reason))
  addEventListener('error', (e) => {
    const { tagName, src, href, rel } = e.target
    if (tagName === 'SCRIPT') check(src)
    else if (tagName === 'LINK' && /stylesheet|preload/.test(rel)) check(href)
    else inspect(e.error)
  }, true)
  addEventListener('input', () => { typed = true }, true)
})()
