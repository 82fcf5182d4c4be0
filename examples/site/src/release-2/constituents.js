// Amplitude in metres, speed in degrees an hour, phase in degrees. New in this
// release: the two daily waves, and N2.
export const constituents = [
  { name: 'M2', amplitude: 1.42, speed: 28.9841042, phase: 121 },
  { name: 'S2', amplitude: 0.48, speed: 30, phase: 166 },
  { name: 'N2', amplitude: 0.28, speed: 28.4397295, phase: 99 },
  { name: 'K1', amplitude: 0.11, speed: 15.0410686, phase: 74 },
  { name: 'O1', amplitude: 0.09, speed: 13.9430356, phase: 18 },
]
