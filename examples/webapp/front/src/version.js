export const version = import.meta.env.VERSION
