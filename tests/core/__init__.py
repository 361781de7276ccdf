"""The core as a library: fastgw.core and what serves requests of other servers."""
