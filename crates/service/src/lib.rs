//! What every taonet daemon shares: lifecycle, atomic files, health and metrics routes.
