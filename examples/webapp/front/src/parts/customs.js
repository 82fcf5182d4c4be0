import src from './customs.svg'
import { part } from '../part.js'

export const show = (place) => part(place, src, 'Declare what you bring before you land it.')
