"""Write Arrow data into Kafka: fast, many processes, one receipt.

    import penstock
    report = penstock.write("orders.parquet", topic="orders", bootstrap_servers="localhost:9092")
"""

__version__ = "0.1.0"
