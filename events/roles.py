"""The names of the roles of staff. What each may do is written in statsproject.roles."""

SUPPORT, OPERATOR, OWNER = "support", "operator", "owner"
ROLES = (SUPPORT, OPERATOR, OWNER)
