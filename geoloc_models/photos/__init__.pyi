from .dataset import PhotoDataset as PhotoDataset
from .exif import read_exif as read_exif
from .folders import scan_photos as scan_photos
from .images import FileImages as FileImages
from .images import ImageSource as ImageSource
from .opening import open_photo as open_photo
from .strip import strip_photo as strip_photo
