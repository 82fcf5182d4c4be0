// The pages of this version, each with a chunk, a style sheet and a picture of its own.
export const pages = {
  home: () => import('../src/pages/home.js'),
  berths: () => import('../src/pages/berths.js'),
  orders: () => import('../src/pages/orders.js'),
  about: () => import('../src/pages/about.js'),
  storms: () => import('./storms.js'),
}
