import src from './fees.svg'
import { part } from '../part.js'

export const show = (place) => part(place, src, 'Fees are by length, and due on arrival.')
