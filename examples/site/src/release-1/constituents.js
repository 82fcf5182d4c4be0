// The two largest waves: amplitude in metres, speed in degrees an hour, phase in degrees.
export const constituents = [
  { name: 'M2', amplitude: 1.42, speed: 28.9841042, phase: 121 },
  { name: 'S2', amplitude: 0.48, speed: 30, phase: 166 },
]
