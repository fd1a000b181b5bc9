"""The deblurred photos at their own size: the scene drawn sharp, with the detail that the photos themselves hold.

    pyramid     a picture as bands of an octave each
    radius      how blurred a photo is where: the circle of confusion, also over the backdrop and before near things
    believed    whether the photos show the blur that the lens model claims
    evidence    where the photo is evidently sharp, whatever is claimed
    missing     how much of what defocus is said to have taken a photo lacks
    own         band by band, the photo where blur leaves the band, the render elsewhere
    bounds      nothing brighter or darker than what is plain about
    photos      photo by photo, from what was learned

In: what was learned, the photos as taken. Out: [H, W, 3] sRGB in [0, 1]. A scene has fewer Gaussians than a photo has
pixels, so a render is never as fine as a photo in focus; and a photo out of focus still holds what is coarser than its
blur. So each octave of detail is taken from the photo as far as the blur leaves it there, the rest from the render.
"""
