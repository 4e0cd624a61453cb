"""Short names for the labels, which are those of the built-in taxonomy `fashionpedia`."""

SHIRT = "shirt, blouse"
TOP = "top, t-shirt, sweatshirt"
SWEATER = "sweater"
CARDIGAN = "cardigan"
JACKET = "jacket"
VEST = "vest"
PANTS = "pants"
SHORTS = "shorts"
SKIRT = "skirt"
COAT = "coat"
DRESS = "dress"
JUMPSUIT = "jumpsuit"
CAPE = "cape"
GLASSES = "glasses"
HAT = "hat"
HEADBAND = "headband, head covering, hair accessory"
TIE = "tie"
GLOVE = "glove"
WATCH = "watch"
BELT = "belt"
LEG_WARMER = "leg warmer"
TIGHTS = "tights, stockings"
SOCK = "sock"
SHOE = "shoe"
BAG = "bag, wallet"
SCARF = "scarf"
UMBRELLA = "umbrella"
HOOD = "hood"
COLLAR = "collar"
LAPEL = "lapel"
EPAULETTE = "epaulette"
SLEEVE = "sleeve"
POCKET = "pocket"
NECKLINE = "neckline"
BUCKLE = "buckle"
ZIPPER = "zipper"
APPLIQUE = "applique"
BEAD = "bead"
BOW = "bow"
FLOWER = "flower"
FRINGE = "fringe"
RIBBON = "ribbon"
RIVET = "rivet"
RUFFLE = "ruffle"
SEQUIN = "sequin"
TASSEL = "tassel"

INNER_TOPS = (SHIRT, TOP, SWEATER)
OUTER_LAYERS = (CARDIGAN, JACKET, VEST, COAT, CAPE)
BOTTOMS = (PANTS, SHORTS, SKIRT)
ONE_PIECES = (DRESS, JUMPSUIT)
GARMENTS = (*INNER_TOPS, *OUTER_LAYERS, *BOTTOMS, *ONE_PIECES)
ACCESSORIES = (
    GLASSES,
    HAT,
    HEADBAND,
    TIE,
    GLOVE,
    WATCH,
    BELT,
    LEG_WARMER,
    TIGHTS,
    SOCK,
    SHOE,
    BAG,
    SCARF,
    UMBRELLA,
)
LEGWEAR = frozenset({TIGHTS, SOCK, LEG_WARMER})
PARTS = (
    HOOD,
    COLLAR,
    LAPEL,
    EPAULETTE,
    SLEEVE,
    POCKET,
    NECKLINE,
    BUCKLE,
    ZIPPER,
    APPLIQUE,
    BEAD,
    BOW,
    FLOWER,
    FRINGE,
    RIBBON,
    RIVET,
    RUFFLE,
    SEQUIN,
    TASSEL,
)
