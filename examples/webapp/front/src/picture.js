// picture returns an image that is there, or fails.
export async function picture(src) {
  const image = new Image(160, 80)
  image.src = src
  image.alt = ''
  await image.decode()
  return image
}
