// watchServer shows in place which release the server would give a new visitor
// now, and returns a function that asks again. It also asks when the tab is
// looked at again.
export function watchServer(place) {
  const ask = async () => {
    place.textContent = await current()
  }
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') ask()
  })
  ask()
  return ask
}

async function current() {
  try {
    const answer = await fetch('./', { method: 'HEAD', cache: 'no-store', signal: AbortSignal.timeout(5000) })
    await answer.arrayBuffer() // empty; unread, it would count as an aborted request
    const release = answer.headers.get('X-Deployment-Id')
    return release ? `release ${release}` : 'no release named'
  } catch {
    return 'nothing: out of reach'
  }
}
