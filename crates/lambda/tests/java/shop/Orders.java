package shop;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** A handler of classes of its own, with a member of each kind. */
public class Orders implements RequestHandler<Orders.Order, Orders.Receipt> {
    @Override
    public Receipt handleRequest(Order order, Context context) {
        Receipt receipt = new Receipt();
        receipt.setOrder(order);
        receipt.total = order.getLines().stream()
                .map(line -> line.price().multiply(BigDecimal.valueOf(line.count())))
                .reduce(BigDecimal.ZERO, BigDecimal::add);
        receipt.setParts(order.getTags() == null ? null : new ArrayList<>(order.getTags()));
        return receipt;
    }

    enum State { OPEN, PAID }

    public record Line(String name, int count, BigDecimal price, Map<String, List<Integer>> sizes) {}

    public static class Order {
        private String id;
        private State state;
        private List<Line> lines = List.of();
        private Set<String> tags;
        private Date made;
        private Instant seen;
        private boolean isGift;
        private ByteBuffer key;
        private double[] weights;
        private Optional<String> note = Optional.empty();
        private String hidden = "as it was";
        private String URL;

        public String getId() { return id; }
        public void setId(String id) { this.id = id; }
        public State getState() { return state; }
        public void setState(State state) { this.state = state; }
        public List<Line> getLines() { return lines; }
        public void setLines(List<Line> lines) { this.lines = lines; }
        public Set<String> getTags() { return tags; }
        public void setTags(Set<String> tags) { this.tags = tags; }
        public Date getMade() { return made; }
        public void setMade(Date made) { this.made = made; }
        public Instant getSeen() { return seen; }
        public void setSeen(Instant seen) { this.seen = seen; }
        public boolean isGift() { return isGift; }
        public void setGift(boolean gift) { isGift = gift; }
        public ByteBuffer getKey() { return key; }
        public void setKey(ByteBuffer key) { this.key = key; }
        public double[] getWeights() { return weights; }
        public void setWeights(double[] weights) { this.weights = weights; }
        public Optional<String> getNote() { return note; }
        public void setNote(Optional<String> note) { this.note = note; }
        public String getHidden() { return hidden; }
        public String getURL() { return URL; }
        public void setURL(String url) { URL = url; }
    }

    public static class Receipt {
        public BigDecimal total;
        private Order order;
        private List<String> parts;

        public Order getOrder() { return order; }
        public void setOrder(Order order) { this.order = order; }
        public List<String> getParts() { return parts; }
        public void setParts(List<String> parts) { this.parts = parts; }
        public Map<String, Object> getExtra() {
            Map<String, Object> extra = new LinkedHashMap<>();
            extra.put("none", null);
            extra.put("nan", Double.NaN);
            return extra;
        }
    }
}
