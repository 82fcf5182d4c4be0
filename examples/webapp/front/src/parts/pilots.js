import src from './pilots.svg'
import { part } from '../part.js'

export const show = (place) => part(place, src, 'Ships longer than sixty metres take a pilot.')
