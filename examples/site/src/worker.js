import { constituents } from '#release/constituents.js'

const minutes = 365 * 24 * 60

// Harmonic method: the height is the sum of one cosine for each constituent.
function highest() {
  let height = -Infinity
  let at = 0
  for (let minute = 0; minute < minutes; minute++) {
    let sum = 0
    for (const { amplitude, speed, phase } of constituents) {
      sum += amplitude * Math.cos(((speed * minute) / 60 - phase) * (Math.PI / 180))
    }
    if (sum > height) {
      height = sum
      at = minute
    }
  }
  return { height, day: Math.floor(at / 1440) + 1 }
}

self.onmessage = () => {
  const start = performance.now()
  const { height, day } = highest()
  const milliseconds = Math.round(performance.now() - start)
  const release = import.meta.env.RELEASE
  self.postMessage({ release, constituents: constituents.length, minutes, height, day, milliseconds })
}
