import src from './weather.svg'
import { part } from '../part.js'

export const show = (place) => part(place, src, 'Gale warnings hang from the mast of the office.')
