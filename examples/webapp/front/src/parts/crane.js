import src from './crane.svg'
import { part } from '../part.js'

export const show = (place) => part(place, src, 'The crane lifts forty tonnes, in winds below force six.')
