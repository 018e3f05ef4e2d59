from .page import build_page as build_page
from .serving import serve as serve
