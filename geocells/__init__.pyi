from . import decoding as decoding
from . import sphere as sphere
from .builder import CellBuilder as CellBuilder
from .cells import CellPartition as CellPartition
from .cells import load_cells as load_cells
from .clustered import ClusteredCells as ClusteredCells
from .duckdb_sql import sql as sql
from .errors import GeocellsWarning as GeocellsWarning
from .grids import HealpixGrid as HealpixGrid
from .grids import LatLonGrid as LatLonGrid
from .grids import S2Grid as S2Grid
from .hierarchy import CellHierarchy as CellHierarchy
from .hierarchy import CellIntersections as CellIntersections
from .regions import RegionCells as RegionCells
from .table_partition import partition_table as partition_table

__version__: str
