"""Apache's Kafka image under testcontainers, which knows Confluent's only."""

from testcontainers.community.kafka import KafkaContainer


class ApacheKafkaContainer(KafkaContainer):
    def __init__(self, image: str = "apache/kafka:4.3.0") -> None:
        super().__init__(image)
        self.kraft_enabled = True  # with_kraft() compares the tag with Confluent's numbers
        # Of its one node, as it does for the offsets' topic.
        for name in ("REPLICATION_FACTOR", "MIN_ISR"):
            self.with_env(f"KAFKA_TRANSACTION_STATE_LOG_{name}", "1")

    def tc_start(self) -> None:
        advertised = f"{self.listener_name}://{self.get_bootstrap_server()},BROKER://$(hostname -i):9092"
        script = f"export KAFKA_ADVERTISED_LISTENERS={advertised}\nexec /etc/kafka/docker/run\n"
        self.create_file(script.encode(), self.TC_START_SCRIPT)
