"""Who a request comes from: users and API tokens."""
