import src from './fuel.svg'
import { part } from '../part.js'

export const show = (place) => part(place, src, 'The fuel berth is open from six to ten.')
