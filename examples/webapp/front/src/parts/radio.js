import src from './radio.svg'
import { part } from '../part.js'

export const show = (place) => part(place, src, 'The office listens on channel twelve.')
